"""Tables: text, Excel and Parquet files, and data frames, as data sets.

Modules in reading order:

    arrow            pyarrow, imported when the first table is read
    cells            what a cell of text holds: a number, a missing value, a date or a word
    textfile         a text file as a stream of UTF-8
    header           column names in the first row, and a title above them
    dialect          the format of a text file: delimiter, comments, header
    rows             the rows of a text file as blocks of columns
    workbooks        the size of the parts of an Excel file, checked before they are parsed
    columns          which columns are learned, and which hold labels and ids
    excel            a sheet of an Excel file as a table of text
    numbers          cells of text as numbers
    number_columns   columns of numbers: marks of missing values, decimals, range
    column_errors    messages on columns that are not numeric
    column_kinds     what a column of a table means: a number, a category, a date
    date_columns     columns of dates as days since 1970
    frame_columns    the columns of a data frame as columns of pyarrow, and back
    column_encoding  one column as features, and back
    encoded_table    features in a known encoding, and values that training did not have
    table_words      the kinds of the columns of a table in words
    table_encoding   a table as rows of features, and back
    table_array      the features of a table as an array that knows the table
    frame_features   a data frame as features, with warnings about guesses
    row_arrays       blocks of rows as one array, in memory or in a temporary file
    id_columns       notes on columns that look like ids, and on rows with an odd id
    text_columns     the cells of columns that are not read as numbers
    growing          a text file that another program appends to
    text_tables      text and Excel files as data sets
    arrow_files      a Parquet or Arrow file as groups of rows
    arrow_messages   what an Arrow file states of its batches, without their values
    unified_schemas  the types of the columns of several files
    table_files      several such files as one table
    parquet_tables   Parquet and Arrow files as data sets
    encoded_datasets  a data set of columns of any kind, with its own encoding or that of a run
    missing_words    words in columns of text that mean a missing value
    mixed_tables     a file with columns of any kind as a data set
    table_blocks     the rows of files in blocks
    column_summaries  a column of any length in few values
    text_summaries   columns of texts and categories in few values
    large_tables     files whose rows stay in them, as a data set
    frame            data frames as data sets
    summary          what the columns of a table hold
"""
