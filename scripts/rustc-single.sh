#!/bin/sh
# Cargo starts this in place of rustc for the packages of this workspace: the build that systems without several processes get.
exec "$@" --cfg multi_node_single
