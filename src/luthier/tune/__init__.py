"""Fine-tune a model on prepared examples."""
