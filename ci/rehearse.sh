#!/usr/bin/env bash
# Plays one rehearsal in CI and hands on what it came to. action.yml and docs/ci/gitlab.yml start it; it runs anywhere else too.
#
# Reads:   VOTEBURST            the program (default: voteburst on the PATH)
#          VOTEBURST_SCENARIO   the scenario file
#          VOTEBURST_OUT        the run directory to make (default: voteburst-run)
#          VOTEBURST_ARGS       more words for `voteburst run`, separated by spaces
# Writes:  GITHUB_STEP_SUMMARY  the run's summary.md, where the variable names a file
#          GITHUB_OUTPUT        outcome, directory, junit and html, where the variable names a file
# Ends with the exit status of `voteburst run`: 0 pass, 1 fail, 2 usage, 3 unknown.
set -euo pipefail

program=${VOTEBURST:-voteburst}
scenario=${VOTEBURST_SCENARIO:?names no scenario file}
out=${VOTEBURST_OUT:-voteburst-run}
read -r -a more <<<"${VOTEBURST_ARGS:-}"

status=0
"$program" run "$scenario" --out "$out" ${more[@]+"${more[@]}"} || status=$?

case $status in
  0) outcome=pass ;;
  1) outcome=fail ;;
  3) outcome=unknown ;;
  *) outcome=refused ;;
esac

if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
  if [ -f "$out/summary.md" ]; then
    cat "$out/summary.md" >>"$GITHUB_STEP_SUMMARY"
  else
    echo "voteburst did not play \`$scenario\` (exit status $status): see the step's log." >>"$GITHUB_STEP_SUMMARY"
  fi
fi
if [ -n "${GITHUB_OUTPUT:-}" ]; then
  {
    echo "outcome=$outcome"
    echo "directory=$out"
    echo "junit=$out/junit.xml"
    echo "html=$out/report.html"
  } >>"$GITHUB_OUTPUT"
fi
exit "$status"
