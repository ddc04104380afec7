"""From plain text to a base model: masked-language modelling, continued or from nothing."""
