#!/usr/bin/env bash
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# image.sh DIST [TAG] makes the container image of the program in DIST, with
# whichever of podman, buildah and docker is there. Nothing is fetched: the image
# begins from nothing, and takes the certificate authorities of this computer.
set -euo pipefail
cd "$(dirname "$0")/.."
dist=$1 tag=${2:-localhost/allmende}
arch=${ARCH:-$(go env GOHOSTARCH)}
arch=${arch/%arm/armhf}

authorities=/etc/ssl/certs/ca-certificates.crt
for needed in "$dist/allmende-linux-$arch" "$authorities"; do
	if [ ! -r "$needed" ]; then
		echo "$needed is missing: make packages builds the program, the package ca-certificates brings the authorities" >&2
		exit 1
	fi
done
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp "$dist/allmende-linux-$arch" "$authorities" "$context/"

# Only docker's format of images knows health checks.
if command -v podman >/dev/null; then
	podman build --format docker --build-arg "ARCH=$arch" -f deploy/Containerfile -t "$tag" "$context"
elif command -v buildah >/dev/null; then
	buildah bud --format docker --build-arg "ARCH=$arch" -f deploy/Containerfile -t "$tag" "$context"
elif command -v docker >/dev/null; then
	docker build --build-arg "ARCH=$arch" -f deploy/Containerfile -t "$tag" "$context"
else
	echo "podman, buildah or docker is needed to make an image" >&2
	exit 1
fi
