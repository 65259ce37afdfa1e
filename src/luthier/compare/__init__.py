"""The same questions to several candidates, and the cheapest that will do."""
