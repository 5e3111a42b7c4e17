#!/bin/sh
echo ready > /app/state
