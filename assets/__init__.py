"""The asset graph. One folder a layer: `component.py` says how a dataset version is built, `defs.yaml` lists them."""
