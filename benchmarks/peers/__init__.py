"""This library beside jpc, FabricPC and pcx: the same work, each in its own interpreter, in turns."""
