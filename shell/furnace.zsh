# The functions of furnace.bash, which are the same for zsh.
source "${0:A:h}/furnace.bash"
