# Says so now and then; ends at once when it is asked to.
trap 'kill "$!" 2>/dev/null; echo "the worker ends"; exit 0' TERM
while :; do
  echo "${GREETING:-Hello from sh0} (worker)"
  sleep 10 &
  wait
done
