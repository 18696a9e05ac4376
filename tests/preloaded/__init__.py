"""A Python interpreter that starts with TensorFlow and Keras imported, for the processes of tests.

Importing them takes four to eight seconds of a core, in the worker process and in the Python
process of every executor of each run. ``server`` imports them once for each set of variables that
they read; ``client`` takes the place of the interpreter and lets the server fork.
"""
