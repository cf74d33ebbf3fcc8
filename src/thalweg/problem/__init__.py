"""Problems: what is to be learned: model, data, loss and metrics; how it is found by name, checked and prepared."""
