# shellcheck shell=sh
# The operators' short names: `. /opt/titan/ops/scripts/aliases.sh` in a shell. Each is one titan command, where Titan is.
titan_do="${TITAN_DO:-/opt/titan/ops/scripts/in_core.sh}"
alias titan-status='$titan_do status'
alias titan-positions='$titan_do positions'
alias titan-equity='$titan_do equity'
alias titan-logs='$titan_do logs -n 100'
alias titan-restart='$titan_do restart'
alias titan-stop='$titan_do down'
alias titan-start='$titan_do up --detach'
alias titan-flatten='$titan_do flatten'
alias titan-backup='$titan_do backup'
