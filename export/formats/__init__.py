"""The formats that an export writes, each in a module or package of its own."""
