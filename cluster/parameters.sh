# shellcheck shell=bash
# What the batch scripts of this folder train, in one place; sourced by batch.sh. The environment goes first: set a variable
# there, as in `LAMINA_OUT=runs/second sbatch cluster/slurm/train.sbatch`, or edit its default here.

: "${LAMINA_CONFIGS:=configs/cifar10-resnet32-dgl.yaml}" # one or more, laid over each other
: "${LAMINA_OUT:=runs/cluster}"                          # the same for every launch of a run: it is resumed there
: "${LAMINA_ARGUMENTS:=}"                                # more for launch/run: --set train.seed=1 --restarts 0 ...
: "${LAMINA_WARNING_S:=300}"                             # PBS: how long before the limit the run is stopped
