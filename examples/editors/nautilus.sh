#!/bin/sh
# NightFix in the menu of Nautilus (GNOME's Files). Copy it, with the name that the menu is to show:
#   cp nautilus.sh ~/.local/share/nautilus/scripts/NightFix
#   chmod +x ~/.local/share/nautilus/scripts/NightFix
# Then: select photos or folders, right click, Scripts > NightFix. Results are beside each photo.
# Options of NightFix come from its configuration file (nightfix config path).
export PATH="$PATH:$HOME/.local/bin"
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT

# Nautilus ends each selected path by a line break.
printf '%s' "$NAUTILUS_SCRIPT_SELECTED_FILE_PATHS" | nightfix enhance -r --quiet - > "$log.paths" 2> "$log"
code=$?
count=$(wc -l < "$log.paths")
rm -f "$log.paths"

if [ "$code" -eq 0 ]; then
  summary="$((count)) results are there"
else
  summary="$((count)) results are there; $(grep -c '^error:' "$log") failed"
fi
if command -v notify-send > /dev/null; then
  notify-send NightFix "$summary
$(grep '^error:' "$log" | head -n 5)"
fi
echo "$summary"
cat "$log" >&2
exit "$code"
