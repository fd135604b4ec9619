#!/usr/bin/env bash
# Builds ../echarts.min.js, the one library that our pages carry: Apache ECharts, reduced to the parts named in charts.js.
# Needs npm and a way to its registry; nothing else of voteburst does. The lock file makes the bytes the same everywhere.
set -euo pipefail
cd "$(dirname "$0")"
npm ci --ignore-scripts --no-audit --no-fund
{
  echo "/*!"
  cat notice.txt
  echo "*/"
  node_modules/.bin/esbuild charts.js --bundle --minify --format=iife --global-name=echarts --target=es2020 \
    --charset=utf8 --legal-comments=none
} > ../echarts.min.js
rm -r node_modules
wc -c ../echarts.min.js
