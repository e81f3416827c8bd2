"""BERT without padding: the module, its forms of attention, TorchScript, and checks of both."""
