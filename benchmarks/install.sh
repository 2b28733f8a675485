#!/usr/bin/env bash
# Virtual environments for the peers: benchmarks/install.sh FOLDER
set -euo pipefail
folder=${1:?"name the folder for the virtual environments"}
mkdir -p "$folder"

python3 -m venv "$folder/keras"
"$folder/keras/bin/pip" install -q 'tensorflow-cpu>=2.21' 'keras>=3.15'

python3 -m venv "$folder/torch"
"$folder/torch/bin/pip" install -q 'torch>=2.11,<2.14'
"$folder/torch/bin/pip" install -q 'lightning>=2.6' 'pyod>=3.6' scikit-learn

python3 -m venv "$folder/pythae" # it asks for older companions
"$folder/pythae/bin/pip" install -q 'torch>=2.11,<2.14'
"$folder/pythae/bin/pip" install -q 'pythae==0.1.2'

python3 -m venv "$folder/ctgan" # for benchmarks/synthesis.py
"$folder/ctgan/bin/pip" install -q 'torch>=2.11,<2.14' ctgan

python3 -m venv "$folder/plain" # the smallest installation of PyTorch
"$folder/plain/bin/pip" install -q 'torch>=2.11,<2.14' numpy

python3 -m venv "$folder/small" # for benchmarks/runtime.py
"$folder/small/bin/pip" install -q "$(dirname "$0")/../packaging/runtime"

python3 -m venv "$folder/isthmus" # its size is measured
"$folder/isthmus/bin/pip" install -q "$(dirname "$0")/.."
