"""A file's rows under a model as one page to look at."""
