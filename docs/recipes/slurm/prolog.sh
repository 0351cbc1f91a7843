#!/bin/sh
# Prolog=/etc/slurm/prolog.sh: fetches a job's data before it starts. A job names it by
#   sbatch --comment=dagset:s3://bucket/data/signs@1.2.0 job.sh
# slurmd runs this as root, and drains the node if it fails: a job can fetch for itself, so nothing here fails.
# slurmd gives it no PATH.
PATH=${PATH:-/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin}
export PATH
address=${SLURM_JOB_COMMENT#dagset:}
if [ -z "$address" ] || [ "$address" = "$SLURM_JOB_COMMENT" ]; then exit 0; fi

# As the job's user, in all of the user's groups: the files are theirs, and so are the rights to the bucket.
home=$(getent passwd "$SLURM_JOB_USER" | cut -d: -f6)
setpriv --reuid="$SLURM_JOB_USER" --regid="$(id -g "$SLURM_JOB_USER")" --init-groups \
    env HOME="$home" DAGSET_CACHE="${DAGSET_CACHE:-/nvme/dagset}" \
    dagset warm "$address" --pin 1h --quiet 2>&1 | logger -t dagset-prolog
# The pin is for the time until the job holds it itself.
exit 0
