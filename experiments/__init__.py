"""The studies, one file a question, and the command line that ties the rooms."""
