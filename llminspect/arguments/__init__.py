"""What can be asked: the options of each command as data, and one parser for each kind of argument.

The command line and Python come through here alike, so that both are read, and refused, by the same code.
"""
