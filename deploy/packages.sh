# The Debian 12 packages that each script needs. To be sourced; then need_packages GROUP... installs those that are
# missing and says so. It needs root or sudo only if some are missing.

packages_of() {
    case $1 in
    # libstdc++: libzmq's archive is C++ (base/archives.cmake). make: gcc uses it to optimise a link in parallel.
    build) echo "gcc libstdc++-12-dev make cmake ninja-build pkg-config protobuf-c-compiler libprotobuf-c-dev" \
        "libprotobuf-dev libzmq3-dev libmicrohttpd-dev libcurl4-openssl-dev libjansson-dev libyaml-dev libsodium-dev" \
        "uthash-dev libxxhash-dev" ;;
    quickstart) echo "curl jq ca-certificates" ;;
    test) echo "libcmocka-dev python3 python3-pytest python3-pytest-xdist python3-zmq python3-jsonschema python3-venv curl jq" \
        "ca-certificates procps" ;;
    # npm only if it is missing: one from elsewhere may come with a nodejs that Debian's npm conflicts with.
    test-long) echo "clang libclang-rt-14-dev clang-format shellcheck wrk valgrind python3-yaml buildah podman runc" \
        "catatonit iptables debootstrap chromium $(command -v npm >/dev/null || echo npm)" ;;
    # The systems that the bench compares Sluice with, and its tools. tests/bench/install keeps the servers from
    # starting.
    bench) echo "redis-server libhiredis-dev rabbitmq-server librabbitmq-dev nats-server libnats-dev mosquitto" \
        "libmosquitto-dev beanstalkd wrk hyperfine valgrind libcmocka-dev python3" ;;
    *) echo "packages.sh: no group '$1'" >&2 && return 1 ;;
    esac
}

need_packages() {
    local group package missing=() as_root=()
    for group in "$@"; do
        for package in $(packages_of "$group"); do
            dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
        done
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    echo "installing from Debian: ${missing[*]}" >&2
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            echo "you are not root and there is no sudo: have root run 'apt-get install ${missing[*]}', then try again" >&2
            return 1
        }
        as_root=(sudo)
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes sh -c \
        'apt-get -qq update && apt-get -qq -y install --no-install-recommends "$@" >/dev/null' sh "${missing[@]}" && return 0
    echo "the packages could not be installed: see apt's messages above (no network? no space? not Debian 12?)" >&2
    return 1
}
