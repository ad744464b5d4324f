"""Files for other programs: subtitles, tables, chapters, edit lists, clips."""
