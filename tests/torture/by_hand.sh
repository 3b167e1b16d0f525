# The words in which checks tell how to see them by hand, for bash: a held target prints what to
# paste ahead of them ($URL, of a second node $URL2, $UPSTREAM, $NODE, `purge`).

# see TOKEN ID...: read them one after another, no faster than $RATE (200/s) if that is set. A line
# an answer: status/exit code of curl (18: cut short, 28: not whole within $PATIENCE seconds), then
# what it says and what it brings.
see() {
  local token=$1 line='%{http_code}/%{exitcode}, %{time_total} s'
  shift
  line="$line, Age: %header{age}, Retry-After: %header{retry-after}"
  curl -s -m "${PATIENCE:-60}" ${RATE:+--rate "$RATE"} \
    -w "\n$line\n" -H "Authorization: Bearer $token" $(printf "$URL/training/%s " "$@") |
    awk 'match($0, /\[[a-z]+\/trn_[0-9]+ v[0-9]+\]/) { body = body " " substr($0, RSTART, RLENGTH) }
      match($0, /"updated_at":"[^"]*"/) { body = body " " substr($0, RSTART + 14, RLENGTH - 15) }
      /^[0-9]+\/[0-9]+, / { print $0 "," body; body = "" }'
}

# crowd TOKEN ID...: read them all at once, and count: status/exit code, what they bring.
crowd() {
  local token=$1
  shift
  curl -sZ -m "${PATIENCE:-60}" --parallel-immediate --parallel-max 300 \
    -w '\n%{http_code}/%{exitcode}\n' -H "Authorization: Bearer $token" $(printf "$URL/training/%s " "$@") |
    grep -Eao '^[0-9]+/[0-9]+$|\[[a-z]+/trn_[0-9]+ v[0-9]+\]' | sort | uniq -c
}

# times N ID: the id so many times.
times() { for _ in $(seq "$1"); do echo "$2"; done; }

# order NAME JSON: what the upstream shall do.
order() { curl -s -o /dev/null -w "$1: %{http_code}\n" -d "$2" "$UPSTREAM/_control/$1"; }

# fault MODE ['MORE, OF, JSON']: how the upstream shall misbehave.
fault() { order fault "{\"mode\": \"$1\"${2:+, $2}}"; }

# edit ID: publish new content.
edit() { order edit "{\"id\": \"$1\"}"; }

# now ID: what the upstream has for it.
now() { curl -s "$UPSTREAM/_control/training/$1" | grep -o '"updated_at.*'; }

# behind ID...: those that are read older than the upstream has them, and how old its version is.
behind() {
  local id latest
  for id in "$@"; do
    latest=$(now "$id" | cut -d'"' -f4)
    see alice-token "$id" | grep -q "$latest" ||
      echo "$id: edited $(($(date +%s) - $(date -d "$latest" +%s))) s ago"
  done
}

# asked: what the upstream was asked since the last `order reset-stats`.
asked() {
  curl -s "$UPSTREAM/_control/stats" |
    grep -Eo '"(requests|rate_limited)":[0-9]+|"by_status":[^}]*}' | paste -sd' '
}

# tag ID: the entity tag that its answer carries.
tag() {
  curl -s -o /dev/null -w '%header{etag}' -H 'Authorization: Bearer alice-token' \
    "$URL/training/$1"
}

# given TAG ID: status and tag of the answer where the caller has that already.
given() {
  curl -s -o /dev/null -w "given $1: %{http_code} %header{etag}\n" \
    -H 'Authorization: Bearer alice-token' -H "If-None-Match: $1" "$URL/training/$2"
}

# body ID: how the body of the answer begins and ends, its status and what curl says of it.
body() {
  local whole
  whole=$(curl -s -w ' -> %{http_code} %{errormsg}' -H 'Authorization: Bearer alice-token' \
    "$URL/training/$1" | tr '\n' ' ')
  echo "${whole:0:25} ... ${whole: -90}"
}
