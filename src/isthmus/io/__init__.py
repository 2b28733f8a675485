"""Input and output: files, the terminal and memory limits.

Read in this order:

    delayed_imports   imports that take no time until they are used
    terminal          printing to standard output and standard error
    memory_limit      limits of memory and computation
    files             opening regular files, and reading a fixed number of bytes
    atomic            atomic replacement of files, and locks of folders
    safetensors       reading and writing safetensors files
    tables            writing tables as CSV
    ray_cluster       the connection to Ray
"""
