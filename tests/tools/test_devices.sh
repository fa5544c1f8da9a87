#!/usr/bin/env bash
# ctest: rusticl
# bmtool devices: what it lists, against what clinfo sees; machines without a platform or a device.
set -euo pipefail
fail() { echo "$1"; exit 1; }
expect() { # CODE COMMAND...: its output lands in out and err
  local want=$1 code=0
  shift
  "$@" >out 2>err || code=$?
  ((code == want)) || { cat out err; fail "exit code $code, not $want: $*"; }
}
says() { grep -qF -- "$1" err || { cat err; fail "stderr does not say: $1"; }; }
bm=$BM_TEST_BMTOOL

# The same platforms and devices as clinfo, in the same order, with the same limits.
expect 0 "$bm" devices --json
mv out devices.json
clinfo --raw >clinfo.txt
/usr/bin/python3 - <<'PY'
import json, re
got = json.load(open("devices.json"))
assert got["schema"] == 1
names, device = [], []
for line in open("clinfo.txt"):
    m = re.match(r"(\[\S+\])?\s+(CL_\w+)\s+(.*\S)", line)
    if not m:
        continue
    if m[2] == "CL_PLATFORM_NAME" and not m[1]:
        names.append(m[3])
    if m[2] == "CL_DEVICE_NAME":
        device.append({})
    if m[1] and device:
        device[-1].setdefault(m[2], m[3])
assert [p["name"] for p in got["platforms"]] == names, names
mine = [d for p in got["platforms"] for d in p["devices"]]
assert len(mine) == len(device) > 0, (len(mine), len(device))
kinds = {"cpu": "CPU", "gpu": "GPU", "accelerator": "ACCELERATOR", "other": "CUSTOM"}
for d, want in zip(mine, device):
    assert d["name"] == want["CL_DEVICE_NAME"], d
    assert d["driver"] == want["CL_DRIVER_VERSION"], d
    assert f"CL_DEVICE_TYPE_{kinds[d['type']]}" in want["CL_DEVICE_TYPE"], want["CL_DEVICE_TYPE"]
    for key, cl in (("memory_bytes", "GLOBAL_MEM_SIZE"), ("max_alloc_bytes", "MAX_MEM_ALLOC_SIZE"),
                    ("local_bytes", "LOCAL_MEM_SIZE"), ("compute_units", "MAX_COMPUTE_UNITS"),
                    ("clock_mhz", "MAX_CLOCK_FREQUENCY"), ("max_work_group", "MAX_WORK_GROUP_SIZE")):
        assert d[key] == int(want["CL_DEVICE_" + cl]), (key, d[key], want["CL_DEVICE_" + cl])
    assert 8 * d["align_bytes"] == int(want["CL_DEVICE_MEM_BASE_ADDR_ALIGN"])
    assert d["fp64"] == ("cl_khr_fp64" in want["CL_DEVICE_EXTENSIONS"].split())
    assert d["extensions"] == want["CL_DEVICE_EXTENSIONS"].split()
short = [d["device"] for d in mine]
assert len(set(short)) == len(short) and got["auto"] in short
print(got["auto"], file=open("auto", "w"))
PY

# The table marks the one that auto picks, and its first column is a SPEC.
expect 0 "$bm" devices
[[ ! -s err ]] || fail "devices writes to stderr"
grep -qE "^\* +$(cat auto) " out || fail "auto is not marked"
expect 0 "$bm" devices --device "$(cat auto)"
grep -qF "$(cat auto)" out || fail "--device does not show the device"
expect 0 "$bm" devices --all
for word in vendor driver memory local work-group extensions; do
  grep -qE "^    $word " out || fail "--all does not tell: $word"
done
expect 5 "$bm" devices --device no-such-device
says 'no device matches "no-such-device"; there is '
expect 2 "$bm" devices --device cpu:x
expect 2 "$bm" devices more

# A machine without a platform, and one whose platforms have no device.
mkdir -p empty
OCL_ICD_VENDORS=$PWD/empty expect 5 "$bm" devices
says 'install a driver'
[[ ! -s out ]] || fail "something is listed where there is nothing"
BM_LAYER_FAIL=GetDeviceIDs:1:-1 OPENCL_LAYERS=$BM_TEST_LAYER OCL_ICD_VENDORS=${OCL_ICD_VENDORS:-pocl.icd} expect 5 "$bm" devices
grep -q ' has no device\.$' out || { cat out; fail "a platform without devices is not listed"; }
says 'no device at all'
