#!/bin/sh
set -e
echo ready > /app/state
