"""Sound: recordings in WAV files, cut into windows, which are the examples.

Modules in reading order:

    recording  one WAV file: its samples as fractions of full scale, and back in the format of the file
    folder     the recordings of a file or a folder
    windows    the windows of recordings as a data set
"""
