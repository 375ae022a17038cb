@rem Lightroom on Windows: name this file as the application; keep it beside lightroom_edit_in.py.
@py -3 "%~dp0lightroom_edit_in.py" %*
