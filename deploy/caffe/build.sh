#!/usr/bin/env bash
# Build Caffe with its Python package on Debian 12, and install it into a Python environment.
#
# Usage: bash deploy/caffe/build.sh [--python PYTHON] [--target FOLDER] [--work FOLDER]
#
#   --python PYTHON   interpreter of the environment, which needs NumPy 1 and pip or uv
#                     (default: .venv/bin/python of this repository)
#   --target FOLDER   folder that receives the package 'caffe' (default: the environment's
#                     site-packages)
#   --work FOLDER     folder for sources and objects, about 300 MB; it is kept, so that an
#                     interrupted build continues (default: ~/.cache/sparkdl-bench/caffe)
set -euo pipefail

# The sources of Caffe 1.0 as a source distribution. Its setup.py requires conda, so CMake is called
# directly.
SOURCE=brocolli-caffe==9.0.2
PACKAGES=(
    binutils cmake g++ make protobuf-compiler libprotobuf-dev libhdf5-dev libopenblas-dev
    libboost-system-dev libboost-thread-dev libboost-filesystem-dev libboost-regex-dev
    libboost-python-dev libgoogle-glog-dev libgflags-dev libgtest-dev
)

root=$(cd "$(dirname "$0")/../.." && pwd)
python=$root/.venv/bin/python
work=${XDG_CACHE_HOME:-$HOME/.cache}/sparkdl-bench/caffe
target=

fail() { printf 'build.sh: %s\n' "$1" >&2; exit 2; }

while [ $# -gt 0 ]; do
    case $1 in
        --python) python=${2:?--python needs a value} ;;
        --target) target=${2:?--target needs a value} ;;
        --work) work=${2:?--work needs a value} ;;
        -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
        *) fail "unknown option '$1'; see --help" ;;
    esac
    shift 2
done

ask() { "$python" -c "import sysconfig, sys, numpy; print($1)"; }

check() {
    [ -x "$(command -v "$python")" ] || fail "there is no interpreter $python; pass --python"
    ask "" >/dev/null || fail "$python cannot import NumPy, whose headers the build needs"
    local version
    version=$(ask "'%d.%d' % sys.version_info[:2]")
    [ "$version" = 3.11 ] ||
        fail "$python is Python $version, but Boost.Python of Debian 12 is for Python 3.11"
}

install_packages() {
    local missing=() package
    for package in "${PACKAGES[@]}"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    local run=()
    [ "$(id -u)" -eq 0 ] || run=(sudo)
    "${run[@]}" apt-get update -qq
    "${run[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# Download with pip or uv from the package index that is configured for the user.
download() {
    mkdir -p "$work"
    compgen -G "$work/*/python/caffe/pycaffe.py" >/dev/null && return
    if "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m pip download --quiet --no-deps --no-binary :all: --dest "$work" "$SOURCE"
    else
        command -v uv >/dev/null || fail "neither pip of $python nor uv was found"
        uv run --quiet --no-project --with pip --python "$python" python -m pip download --quiet \
            --no-deps --no-binary :all: --dest "$work" "$SOURCE"
    fi
    tar -xzf "$work"/brocolli?caffe-*.tar.gz -C "$work"
}

# The CMake files name libraries without the suffixes that Debian adds: links provide those names.
link_libraries() {
    local libraries
    libraries=/usr/lib/$(uname -m)-linux-gnu
    mkdir -p "$work/lib"
    ln -sf "$libraries/libboost_python311.so" "$work/lib/libboost_python.so"
    ln -sf "$libraries/libhdf5_serial.so" "$work/lib/libhdf5.so"
    ln -sf "$libraries/libhdf5_serial_hl.so" "$work/lib/libhdf5_hl.so"
}

compile() {
    local sources=("$work"/brocolli?caffe-*/) flags
    flags="-I$(ask "sysconfig.get_path('include')") -I$(ask "numpy.get_include()")"
    flags+=" -I/usr/include/hdf5/serial"
    # RPATH, unlike RUNPATH, also applies to the libraries that the libraries load.
    cmake -S "${sources[0]}" -B "$work/objects" -DCMAKE_BUILD_TYPE=Release \
        -DUSE_HDF5=ON -DBUILD_python_layer=OFF -DCMAKE_SKIP_RPATH=ON -DCMAKE_CXX_FLAGS="$flags" \
        -DCMAKE_SHARED_LINKER_FLAGS="-L$work/lib -Wl,--disable-new-dtags,-rpath,'\$ORIGIN'"
    cmake --build "$work/objects" --target pycaffe --parallel "$(nproc)"
}

# Shared libraries of Debian that _caffe.so needs, without those of the C and C++ runtime.
libraries_of() {
    ldd "$1" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' |
        grep -Ev '/(libc|libm|libdl|librt|libpthread|libgcc_s|libstdc\+\+)\.so'
}

install_package() {
    local sources=("$work"/brocolli?caffe-*/) built package=$target/caffe
    built=$(find "$work/objects" -name _caffe.so -type f | head -n 1)
    [ -n "$built" ] || fail "the build made no _caffe.so; see the messages above"
    rm -rf "$package"
    mkdir -p "$package"
    cp -R "${sources[0]}/python/caffe/." "$package/"
    rm -rf "$package/_caffe.so" "$package/test" "$package/imagenet"
    find "$package" -name '*.cpp' -delete
    cp "$built" "$package/_caffe.so"
    # The package can thus be copied to machines on which Debian's packages are not installed.
    libraries_of "$built" | xargs -I{} cp -L {} "$package/"
}

check
[ -n "$target" ] || target=$(ask "sysconfig.get_path('purelib')")
install_packages
download
link_libraries
compile
install_package
found=$(cd / && PYTHONPATH=$target GLOG_minloglevel=2 "$python" -c \
    'import caffe; print(caffe.__version__, "with", len(caffe.layer_type_list()), "kinds of layers")')
printf 'Caffe %s is installed in %s/caffe\n' "$found" "$target"
if [ "$target" != "$(ask "sysconfig.get_path('purelib')")" ]; then
    printf 'To use it, set: export PYTHONPATH=%s\n' "$target"
fi
