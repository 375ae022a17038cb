# NightFix in digiKam's Batch Queue Manager: paste all of this into Base Tools > Custom Tools >
# Custom Script, and choose TIFF, JPEG or PNG as its output type. It has to be the first tool of the
# queue. Options of NightFix come from its configuration file (nightfix config path).
# Without quotes on purpose: older releases put quoted names into the text, newer ones set variables.
input=$INPUT
output=$OUTPUT
export PATH="$PATH:$HOME/.local/bin"
case "${output##*.}" in
  [Tt][Ii][Ff]|[Tt][Ii][Ff][Ff]) format=tiff ;;
  [Jj][Pp][Gg]|[Jj][Pp][Ee][Gg]) format=jpeg ;;
  [Pp][Nn][Gg]) format=png ;;
  *) echo "choose TIFF, JPEG or PNG as the output type" >&2; exit 2 ;;
esac
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
result=$(nightfix enhance "$input" --quiet --format "$format" -o "$folder") || exit
mv -f -- "$result" "$output"
