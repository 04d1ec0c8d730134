"""One module per family of figures; each ends with the tuple FIGURES that bench/run.py collects."""
