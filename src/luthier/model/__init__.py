"""A model in memory: load, adapt, template, loss head, shapes."""

import logging

# PEFT loads it whether it is used or not, and it then asks for a package that only its fast answering wants
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
