#!/bin/sh
#SBATCH --comment=dagset:s3://bucket/data/signs@1.2.0
#SBATCH --ntasks=8 --signal=TERM@60
# sbatch job.sh ADDRESS COMMAND…: each task gets its part of the version as {} in COMMAND, or in $DAGSET_DATA.
if [ -z "$SLURM_PROCID" ]; then exec srun sh "$0" "$@"; fi
address=$1
shift

# Slurm signals all processes of a step, so none has to pass signals on: --exec.
exec dagset run "$address" --part "$((SLURM_PROCID + 1))/$SLURM_NTASKS" --exec -- "$@"
