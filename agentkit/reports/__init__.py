"""Reports: what a session knows of videos, as one document in Markdown, HTML, JSON or PDF.

`build.py` gathers the document, `document.py` gives it a format. A report is made by rules from
notes, findings and the domain's sections; the language model writes the summary alone.
"""
