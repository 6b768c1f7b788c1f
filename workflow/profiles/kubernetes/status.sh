#!/bin/sh
# How the Job of this name stands, in Snakemake's words. One that is gone was taken away.
found=$(kubectl get "$1" --ignore-not-found --output=jsonpath='{.kind} {.status.succeeded} {.status.failed}') ||
  { echo running && exit; } # the server does not answer now
case "$found" in
"Job 1 "*) echo success ;;
"Job  ") echo running ;;
*) echo failed ;;
esac
