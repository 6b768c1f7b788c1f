#!/bin/sh
# How the job with this id stands, in Snakemake's words. One that sacct does not know yet is about to begin.
case "$(sacct --noheader --allocations --format=State --jobs="$1" | head -n 1)" in
COMPLETED*) echo success ;;
"" | PENDING* | CONFIGURING* | RUNNING* | COMPLETING* | SUSPENDED* | REQUEUED* | RESIZING*) echo running ;;
*) echo failed ;;
esac
