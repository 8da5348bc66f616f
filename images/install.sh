#!/bin/sh
# The steps of an image's build, for every part the same. Runs inside the build; see images/README.md.
#   install.sh base                  the final image: no installer, and bytecode for the standard library
#   install.sh tools                 the build stage: the pinned installer
#   install.sh dependencies GROUP    requirements/GROUP.txt into /opt/venv, and the list of them
#   install.sh code PART…            the parts themselves into /opt/code
set -eu

compile() { # folder…
  # By content, not by date: a copy into another layer keeps them valid, and nobody can write them anew later.
  python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash "$@" || true
}

trust() { # behind a company's proxy: the build secret `ca` is a bundle of certificates
  if [ -s /run/secrets/ca ]; then
    export SSL_CERT_FILE=/run/secrets/ca PIP_CERT=/run/secrets/ca
  fi
}

case $1 in
base)
  python3 -m pip --version >/dev/null 2>&1 &&
    python3 -m pip uninstall --quiet --yes --root-user-action=ignore --disable-pip-version-check setuptools wheel pip
  for folder in $(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"), "/usr/share/python-wheels")'); do
    rm -rf "$folder/ensurepip" "$folder/idlelib" "$folder/turtledemo" "$folder/test" "$folder/lib2to3"
  done
  rm -rf /usr/share/python-wheels
  # A few modules of the standard library are there for older syntax and cannot be compiled.
  compile "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" 2>/dev/null
  ;;
tools)
  trust
  python3 -m venv /opt/build
  /opt/build/bin/python -m pip install --quiet --disable-pip-version-check --no-cache-dir --only-binary :all: \
    --require-hashes --requirement /requirements/build.txt
  python3 -m venv --without-pip /opt/venv
  # The parts lie beside their dependencies, so that a change of code leaves the large layer as it is.
  echo /opt/code >"$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/dormouse.pth"
  ;;
dependencies)
  trust
  /opt/build/bin/uv pip install --quiet --no-cache --python /opt/venv/bin/python --only-binary :all: \
    --require-hashes --requirement "/requirements/$2.txt"
  # Packages' own tests, which nobody runs here: 100 MB of tool_fn's dependencies.
  find /opt/venv/lib -type d -name tests -prune -exec rm -r {} +
  compile /opt/venv/lib
  ;;
code)
  shift
  parts=""
  for part in "$@"; do parts="$parts /src/$part"; done
  # shellcheck disable=SC2086  # a list of words
  /opt/build/bin/uv pip install --quiet --no-cache --offline --python /opt/build/bin/python --target /opt/code \
    --no-deps --no-build-isolation $parts
  compile /opt/code
  /opt/build/bin/cyclonedx-py environment --output-reproducible --output-format JSON \
    --output-file /opt/code/sbom.cdx.json /opt/venv
  ;;
*)
  echo "install.sh: there is no step '$1'" >&2
  exit 2
  ;;
esac
