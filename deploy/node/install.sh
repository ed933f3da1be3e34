#!/bin/sh
# Installs the Trunkline node sidecar as a service on Ubuntu (systemd) or macOS (launchd), joins it to a gateway, and
# starts it. Running the script again only upgrades. Run it as root.
#
#   TRUNKLINE_JOIN_TOKEN=tlj_… sh install.sh --url https://gateway:8443 [--upstream http://127.0.0.1:11434]
#   sh install.sh --uninstall [--purge]
set -eu

url='' prefix='' package='trunkline[node]' root='' uninstall='' purge='' start=yes
pip_options=${TRUNKLINE_PIP_OPTIONS:-}

usage() {
    cat <<'EOF'
Usage: install.sh [options]
  --url URL          the gateway to join (https://host:port); without it, only install
  --token TOKEN      the join token; better in the environment, as TRUNKLINE_JOIN_TOKEN
  --name NAME        how to call this node (default: the machine's name)
  --upstream URL     a local inference server; may be repeated (default: look for known ones)
  --direct HOST:PORT where the gateway reaches this node (default: tunnels)
  --concurrency N    requests at once
  --replace          join again although this machine has already joined
  --package SPEC     what pip installs (default: trunkline[node]); a wheel's path works
  --prefix DIR       where the program goes (default: /opt/trunkline-node)
  --no-start         install the service, but do not start it
  --uninstall        remove the service and the program; --purge: leave the gateway and remove the identity too
  --root DIR         install below DIR and touch no service and no user: for images and tests
EOF
}

say() { printf '%s\n' "trunkline-node: $*"; }
die() { say "$*" >&2; exit 1; }

# Options for `join` are collected in the positional parameters, so that no value is split at its spaces.
given=$#
while [ "$given" -gt 0 ]; do
    option=$1
    shift
    given=$((given - 1))
    case $option in
        --url | --token | --name | --upstream | --direct | --concurrency | --package | --prefix | --root)
            [ "$given" -gt 0 ] || die "$option needs a value"
            value=$1
            shift
            given=$((given - 1))
            ;;
    esac
    case $option in
        --url) url=$value ;;
        --token) TRUNKLINE_JOIN_TOKEN=$value ;;
        --package) package=$value ;;
        --prefix) prefix=$value ;;
        --root) root=${value%/} ;;
        --name | --upstream | --direct | --concurrency) set -- "$@" "$option" "$value" ;;
        --replace) set -- "$@" --replace ;;
        --no-start) start='' ;;
        --uninstall) uninstall=yes ;;
        --purge) purge=yes ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            usage >&2
            die "$option is not known"
            ;;
    esac
done
[ -z "$purge" ] || [ -n "$uninstall" ] || die "--purge goes with --uninstall"

system=${TRUNKLINE_INSTALL_SYSTEM:-$(uname -s)}
case $system in
    Linux)
        user=trunkline-node
        state=/var/lib/trunkline-node
        template=trunkline-node.service
        unit=/etc/systemd/system/trunkline-node.service
        ;;
    Darwin)
        user=_trunklinenode
        state='/Library/Application Support/trunkline-node'
        template=io.trunkline.node.plist
        unit=/Library/LaunchDaemons/io.trunkline.node.plist
        ;;
    *) die "$system is not supported; there is install.ps1 for Windows" ;;
esac
prefix=${prefix:-/opt/trunkline-node}
case $prefix in
    /*) ;;
    *) die "--prefix must begin with /" ;;
esac
venv=$root$prefix/venv
command=$venv/bin/trunkline-node
[ -n "$root" ] || [ "$(id -u)" = 0 ] || die "run this as root, e.g. with sudo"

# Runs as the service's user; in a scratch root as the current user.
as_user() {
    if [ -n "$root" ]; then
        env "TRUNKLINE_NODE_STATE_DIR=$root$state" "$@"
    elif [ "$system" = Linux ]; then
        # The token is passed in the environment: every user can see command lines.
        TRUNKLINE_NODE_STATE_DIR=$state runuser -u "$user" -- "$@"
    else
        sudo -u "$user" --preserve-env=TRUNKLINE_JOIN_TOKEN env "TRUNKLINE_NODE_STATE_DIR=$state" "$@"
    fi
}

# For example not in containers.
has_systemd() { [ -d /run/systemd/system ]; }

stop_service() {
    [ -z "$root" ] || return 0
    if [ "$system" = Linux ]; then
        has_systemd || return 0
        systemctl disable --now trunkline-node.service 2>/dev/null || true
    else
        launchctl bootout system/io.trunkline.node 2>/dev/null || true
    fi
}

start_service() {
    if [ -n "$root" ] || [ -z "$start" ]; then
        say "not started"
    elif [ "$system" = Linux ] && ! has_systemd; then
        say "not started: there is no systemd here; run trunkline-node run as the user $user"
    elif [ "$system" = Linux ]; then
        systemctl daemon-reload
        systemctl enable trunkline-node.service
        systemctl restart trunkline-node.service
        say "running; see: systemctl status trunkline-node; sudo trunkline-node status"
    else
        launchctl bootout system/io.trunkline.node 2>/dev/null || true
        launchctl bootstrap system "$unit"
        say "running; see: sudo trunkline-node status, and $state/node.log"
    fi
}

if [ -n "$uninstall" ]; then
    stop_service
    if [ -n "$purge" ] && [ -e "$root$state/node.json" ] && [ -x "$command" ]; then
        as_user "$command" leave --force || say "the gateway was not informed; remove the node there"
    fi
    rm -f "$root$unit"
    [ ! -L "$root/usr/local/bin/trunkline-node" ] || rm -f "$root/usr/local/bin/trunkline-node"
    rm -rf "$venv"
    rmdir "$root$prefix" 2>/dev/null || true
    if [ -n "$purge" ]; then
        rm -rf "$root$state"
        if [ -z "$root" ]; then
            if [ "$system" = Linux ]; then
                userdel "$user" 2>/dev/null || true
            else
                dscl . -delete "/Users/$user" 2>/dev/null || true
            fi
        fi
        say "removed, with its identity"
    else
        say "removed; the identity is still in $state (--purge removes it)"
    fi
    if [ -z "$root" ] && [ "$system" = Linux ] && has_systemd; then
        systemctl daemon-reload
    fi
    exit 0
fi

find_python() {
    for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

make_user() {
    [ -z "$root" ] || return 0
    if id "$user" >/dev/null 2>&1; then
        return 0
    fi
    if [ "$system" = Linux ]; then
        useradd --system --user-group --home-dir "$state" --no-create-home --shell /usr/sbin/nologin "$user"
    else
        # The first free id below 500; users below 500 are hidden.
        id=400
        while dscl . -list /Users UniqueID | awk '{print $2}' | grep -qx "$id"; do
            id=$((id + 1))
        done
        dscl . -create "/Users/$user"
        dscl . -create "/Users/$user" UniqueID "$id"
        dscl . -create "/Users/$user" PrimaryGroupID 20
        dscl . -create "/Users/$user" UserShell /usr/bin/false
        dscl . -create "/Users/$user" NFSHomeDirectory "$state"
        dscl . -create "/Users/$user" IsHidden 1
    fi
    say "made the user $user"
}

python=$(find_python) || die "needs Python 3.11 or newer with venv (Ubuntu: apt-get install python3 python3-venv;\
 macOS: brew install python)"
make_user
mkdir -p "$root$prefix" "$root$state" "$root$(dirname "$unit")" "$root/usr/local/bin"
chmod 700 "$root$state"
[ -n "$root" ] || chown "$user" "$state"

# A venv whose Python has disappeared (after a system upgrade) is made again.
if ! "$venv/bin/python" -c '' 2>/dev/null; then
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi
# shellcheck disable=SC2086 # several options in one variable, on purpose
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade $pip_options "$package"
"$command" --version >/dev/null || die "the installed program does not start"
ln -sf "$prefix/venv/bin/trunkline-node" "$root/usr/local/bin/trunkline-node"
say "installed $("$command" --version)"

if [ -n "$url" ]; then
    : "${TRUNKLINE_JOIN_TOKEN:?trunkline-node: --url needs a token, in TRUNKLINE_JOIN_TOKEN or --token}"
    export TRUNKLINE_JOIN_TOKEN
    as_user "$command" join "$url" --no-run --if-needed "$@"
fi

# The wheel contains the service's description, so that this script works alone.
found=$("$venv/bin/python" -I -c 'import node_sidecar, pathlib; print(pathlib.Path(node_sidecar.__file__).parent)')
sed -e "s|@PREFIX@|$prefix|g" -e "s|@STATE@|$state|g" "$found/_deploy/$template" >"$root$unit.new"
chmod 644 "$root$unit.new"
mv "$root$unit.new" "$root$unit"
if [ -e "$root$state/node.json" ]; then
    start_service
else
    say "not started: this machine has not joined a gateway yet (run this again with --url)"
fi
