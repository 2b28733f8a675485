"""Tables in: text, Excel and Parquet files, and data frames, as a data set.

Read in this order:

    arrow         pyarrow, loaded when the first table is read
    cells         what a cell of text is: a number, a missing value or a word
    textfile      a text file as a stream of UTF-8
    dialect       how a text file is written: delimiter, header, decimal comma
    rows          the rows of a text file as blocks of columns
    workbooks     the parts of an Excel file, counted before they are parsed
    excel         a sheet of an Excel file as a table of text
    numbers       cells of text as numbers
    columns       which columns are learned, which hold labels and ids
    text_columns  the cells of columns that cannot be learned, kept in the same reading
    reading       from a file to a data set
    frame         from a data frame to a data set
    summary       what the columns of a table hold
"""
