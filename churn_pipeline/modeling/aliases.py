"""What a model is called beside its version, in MLflow and by whoever asks for one. Nothing else, so that it can be read at no cost."""

# The model in force.
CHAMPION = "champion"
