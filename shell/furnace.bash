# Functions for the shell: partitions by the ids of apps and VMs. For bash and zsh: source shell/furnace.bash
# FURNACE_DIR holds the tenants' data (default /opt/furnace); FURNACE is the command (default: furnace on the PATH).

_furnace() { "${FURNACE:-furnace}" "$@"; }
_furnace_tenant() { printf '%s/app_storage/tenant_data/%s' "${FURNACE_DIR:-/opt/furnace}" "$1"; }
_furnace_usage() { printf 'usage: %s\n' "$1" >&2; return 2; }

# vmi, app, fac: bare; pvmi, papp, pfac: in a partition, under the inspector; bvmi, bapp, bfac: bash inside
# the partition. mvmi and its kin: on a simulated guest, a description's path is its name.
vmi() { _furnace_vmi vmi auto --unconfined "$@"; }
pvmi() { _furnace_vmi pvmi auto '' "$@"; }
bvmi() { _furnace_vmi bvmi auto --shell "$@"; }
mvmi() { _furnace_vmi mvmi simulator --unconfined "$@"; }
pmvmi() { _furnace_vmi pmvmi simulator '' "$@"; }
bmvmi() { _furnace_vmi bmvmi simulator --shell "$@"; }
_furnace_vmi() {  # function, driver, how, then its arguments
  [ $# -eq 5 ] || { _furnace_usage "$1 VM-NAME UUID-vmi"; return; }
  local tenant profile
  tenant=$(_furnace_tenant "$5")
  profile=$tenant/rekall.json
  [ -s "$profile" ] || profile=
  mkdir -p "$tenant/vmi_socket" || return
  _furnace vmi "$4" --driver "$2" --vmi "$tenant/vmi_socket" ${profile:+--profile "$profile"} ${3:+"$3"}
}

# APP partition. A file given is copied in as the app.
app() { _furnace_app app --unconfined "$@"; }
papp() { _furnace_app papp '' "$@"; }
bapp() { _furnace_app bapp --shell "$@"; }
_furnace_app() {
  [ $# -eq 5 ] || [ $# -eq 6 ] || { _furnace_usage "$1 UUID-app UUID-vmi METADATA [FILE]"; return; }
  local tenant
  tenant=$(_furnace_tenant "$3")
  if [ $# -eq 6 ]; then
    mkdir -p "$tenant" && cp -- "$6" "$tenant/app.py" || return
  fi
  _furnace app -c "$tenant/app" -m App --u2 "$3" --md "$5" --fac "$tenant/fac_socket" --vmi "$(_furnace_tenant "$4")/vmi_socket" ${2:+"$2"}
}

# FAC partition.
fac() { _furnace_fac fac --unconfined "$@"; }
pfac() { _furnace_fac pfac '' "$@"; }
bfac() { _furnace_fac bfac --shell "$@"; }
_furnace_fac() {
  [ $# -eq 5 ] || { _furnace_usage "$1 UUID-app PROXY-IP PROXY-PORT"; return; }
  local tenant
  tenant=$(_furnace_tenant "$3")
  mkdir -p "$tenant/fac_socket" || return
  _furnace fac --u2 "$3" --kp "$tenant" --ip "$4" --it "$5" --fac "$tenant/fac_socket" --storage "$tenant/storage" ${2:+"$2"}
}

furnace_proxy() {
  [ $# -eq 5 ] || { _furnace_usage 'furnace_proxy UUID-app PROXY-IP PROXY-PORT BACKEND-IP BACKEND-PORT'; return; }
  local tenant
  tenant=$(_furnace_tenant "$1")
  _furnace proxy --ak "$tenant/app.key" --bk "$tenant/be.key" --ip "$2" --it "$3" --ep "$4" --et "$5"
}

# A partition's limits. A VMI partition (NAME-vmi) gets less memory.
cgmk() {
  [ $# -eq 1 ] || { _furnace_usage 'cgmk NAME'; return; }
  case $1 in
    *-vmi) _furnace cgroup make "$1" --memory 64 ;;
    *) _furnace cgroup make "$1" ;;
  esac
}
cgrm() {
  [ $# -eq 1 ] || { _furnace_usage 'cgrm NAME'; return; }
  _furnace cgroup remove "$1"
}
cglist() { _furnace cgroup show "$@"; }
