#!/bin/sh
# submit.sh CORES MEGABYTES MINUTES SCRIPT: a Job that runs the script; prints its name.
set -eu
: "${BNBOOK_VOLUME:?the claim of the volume that all pods share}" "${BNBOOK_MOUNT:?where it is mounted}" \
  "${BNBOOK_IMAGE:?an image with the Python of .venv}"

text() { # a string of YAML
  printf '%s' "$1" | sed 's/["\\]/\\&/g; s/^/"/; s/$/"/'
}

kubectl create --output=name --filename=- <<END
apiVersion: batch/v1
kind: Job
metadata:
  generateName: bnbook-
spec:
  backoffLimit: 0
  activeDeadlineSeconds: $(($3 * 60))
  ttlSecondsAfterFinished: 86400
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: job
          image: $(text "$BNBOOK_IMAGE")
          command: [sh, $(text "$4")]
          workingDir: $(text "$PWD")
          env:
            - {name: PYTHONPATH, value: $(text "${PYTHONPATH-}")}
            - {name: BNBOOK_CACHE, value: $(text "${BNBOOK_CACHE-}")}
            - {name: BNBOOK_DATA, value: $(text "${BNBOOK_DATA-}")}
          resources:
            requests: {cpu: "$1", memory: "${2}M"}
            limits: {memory: "${2}M"}
          volumeMounts:
            - {name: shared, mountPath: $(text "$BNBOOK_MOUNT")}
      volumes:
        - name: shared
          persistentVolumeClaim: {claimName: $(text "$BNBOOK_VOLUME")}
END
