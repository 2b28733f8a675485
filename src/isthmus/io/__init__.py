"""What comes in from outside and goes out: files, the terminal, memory.

Read in this order:

    terminal       the one door to standard output and standard error
    memory_limit   what the machine has left, what is in proportion, and a person's word
    files          opening what a user names: regular files only, never more bytes than promised
    atomic         a file is written whole, or the old one stays
    safetensors    safetensors files, read with suspicion
    tables         tables as CSV: text guarded, numbers as they are
"""
