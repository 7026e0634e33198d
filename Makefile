# make            build the extension for the server of PG_CONFIG
# make install    install it there
# make package    a .deb and a tarball for the server of PG_CONFIG, into target/package: nobody needs Rust to install them
# make run        set everything up, start a private cluster, show the main job, say how to connect
# make test       set everything up, run all tests, on the distribution's PostgreSQL and on 18
# make test-all   the same, and on every major version between them
# make api        the same cluster with PostgREST in front of it, and curl lines that work
# make soak       the long forms of the tests that chance decides, and libFuzzer; writes docs/soak.md (hours: SOAK_SECONDS=600 for each parser)
# make standards  runs the tests that docs/standards.md names, and says there which pass
# make bench      the figures of README and docs/benchmarks.md (USERS=1000000 SESSIONS=1000000, or other numbers; some minutes)
# make stop       stop the private cluster of make run

# The newest server installed from PostgreSQL's or Debian's packages, unless told.
PG_CONFIG ?= $(lastword $(sort $(wildcard /usr/lib/postgresql/*/bin/pg_config)) $(if $(wildcard /usr/lib/postgresql/*/bin/pg_config),,pg_config))
PG_MAJOR  = $(shell $(PG_CONFIG) --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/')
VERSION   = $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" pg_auth.control)
TARGET    = target/pg$(PG_MAJOR)
SCRIPT    = $(TARGET)/pg_auth--$(VERSION).sql
LIBRARY   = $(TARGET)/release/libpg_auth.so

# In this order: what is used stands before what uses it.
SQL = sql/path.sql sql/requirements.sql sql/schemas.sql sql/functions/identity.sql \
      $(addprefix sql/tables/,users.sql accounts.sql passwords.sql sessions.sql roles.sql user_roles.sql bans.sql audit_log.sql failed_attempts.sql managed_roles.sql signing_keys.sql messages.sql directory.sql) \
      sql/views.sql $(addprefix sql/doors/,credentials.sql administration.sql directory.sql housekeeping.sql mail.sql) \
      $(addprefix sql/functions/,guarded_writes.sql sessions.sql passwords.sql users.sql user_sessions.sql bans.sql impersonation.sql user_roles.sql audit.sql database_roles.sql gateway.sql email.sql accounts.sql messages.sql imports.sql housekeeping.sql) \
      sql/grants.sql sql/finish.sql

DEV = . pgrx-tests/dev.sh

.PHONY: all library install package run api test test-all soak standards bench stop clean
all: library $(SCRIPT)

library:
ifndef LIBRARY_IS_BUILT
	PGRX_PG_CONFIG_PATH=$(PG_CONFIG) cargo build --locked --release --package pg_auth --no-default-features --features pg$(PG_MAJOR) --target-dir $(TARGET)
endif

$(SCRIPT): $(SQL) Makefile
	mkdir -p $(TARGET)
	{ printf '%s\n' '\echo Use "CREATE EXTENSION pg_auth CASCADE" to load this file. \quit'; for file in $(SQL); do echo; echo "-- $$file"; cat $$file; done; } > $@.new
	mv $@.new $@

install: all
	install -d '$(DESTDIR)$(shell $(PG_CONFIG) --pkglibdir)' '$(DESTDIR)$(shell $(PG_CONFIG) --sharedir)/extension'
	install -m 755 $(LIBRARY) '$(DESTDIR)$(shell $(PG_CONFIG) --pkglibdir)/pg_auth.so'
	install -m 644 pg_auth.control $(SCRIPT) $(wildcard sql/upgrades/*.sql) '$(DESTDIR)$(shell $(PG_CONFIG) --sharedir)/extension/'

PACKAGE = target/package/pg_auth-$(VERSION)-pg$(PG_MAJOR)

package: all
	rm -rf '$(PACKAGE)'
	$(MAKE) --no-print-directory -s install LIBRARY_IS_BUILT=1 PG_CONFIG='$(PG_CONFIG)' DESTDIR='$(CURDIR)/$(PACKAGE)'
	install -d '$(PACKAGE)/usr/share/doc/postgresql-$(PG_MAJOR)-pg-auth'
	install -m 644 README.md CHANGELOG.md META.json docs/*.md '$(PACKAGE)/usr/share/doc/postgresql-$(PG_MAJOR)-pg-auth/'
	strip --strip-debug '$(PACKAGE)$(shell $(PG_CONFIG) --pkglibdir)/pg_auth.so'
	tar -C '$(PACKAGE)' --owner=0 --group=0 --sort=name -czf '$(PACKAGE)-linux-$(shell uname -m).tar.gz' .
	install -d '$(PACKAGE)/DEBIAN'
	printf '%s\n' 'Package: postgresql-$(PG_MAJOR)-pg-auth' 'Version: $(VERSION)' "Architecture: $$(dpkg --print-architecture)" 'Section: database' 'Priority: optional' \
	    'Maintainer: The maintainers of pg_auth <maintainers@localhost>' "Depends: postgresql-$(PG_MAJOR), libc6 (>= $$(ldd --version | sed -n '1s/.* //p'))" \
	    'Description: authentication and user administration inside PostgreSQL $(PG_MAJOR)' ' Users, sessions, roles, bans, mailed tokens and an audit log, as SQL functions.' > '$(PACKAGE)/DEBIAN/control'
	dpkg-deb --build --root-owner-group '$(PACKAGE)' '$(PACKAGE).deb' >/dev/null
	rm -rf '$(PACKAGE)'
	@ls -l target/package

run:
	@$(DEV) && setup && private_server && cargo run --locked --quiet --package pgrx-tests --bin tour

api:
	@$(DEV) && setup && private_server && gateway_tools && cargo run --locked --quiet --package pgrx-tests --bin api

test:
	@$(DEV) && setup && private_server && python_tools && gateway_tools && peer_tools && pooler_tools && test_both

test-all:
	@$(DEV) && setup && private_server && python_tools && gateway_tools && peer_tools && test_all

soak:
	@$(DEV) && setup && private_server && python_tools && gateway_tools && peer_tools && pooler_tools && fuzz_tools && soak

standards:
	@$(DEV) && setup && private_server && python_tools && gateway_tools && peer_tools && cargo run --locked --quiet --package pgrx-tests --bin standards

bench:
	@$(DEV) && setup && private_server && gateway_tools && peer_tools && bench_tools && PG_AUTH_BENCH_USERS='$(USERS)' PG_AUTH_BENCH_SESSIONS='$(SESSIONS)' cargo bench --locked --quiet --package pgrx-tests

stop:
	@$(DEV) && private_server_paths && cargo run --locked --quiet --package pgrx-tests --bin tour -- stop

clean:
	rm -rf target
