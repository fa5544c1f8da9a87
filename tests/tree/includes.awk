# Prints every #include that runs against the order of the tree. Input: lines "FILE:NUMBER:#include ..." as grep prints
# them; FILE is written from the root.
#   core <- cl, io <- models <- tools; in core: base <- device <- graph, base <- comm; tests may include all

function layer_of(path,    part) {
    split(path, part, "/")
    return part[1] == "core" ? part[1] "/" part[2] : part[1]
}

BEGIN {
    allowed["core/base"] = "core/base"
    allowed["core/device"] = "core/base core/device"
    allowed["core/graph"] = "core/base core/device core/graph"
    allowed["core/comm"] = "core/base core/comm"
    core = "core/base core/device core/graph core/comm"
    allowed["cl"] = core " cl"
    allowed["io"] = core " io"
    allowed["models"] = core " cl io models"
    allowed["tools"] = core " cl io models tools"
    allowed["tests"] = core " cl io models tools tests"
}

{
    match($0, /:[0-9]+:/)
    file = substr($0, 1, RSTART - 1)
    place = substr($0, 1, RSTART + RLENGTH - 2)
    if (!match($0, /"[^"]*"/)) next # <...> is a library's
    target = substr($0, RSTART + 1, RLENGTH - 2)
    # Kernels include the files of cl/lib by their bare names, and those the headers that they share with C.
    if (file ~ /\.clh?$/ && target ~ /^[a-z0-9_]+\.clh$/) next
    if (file ~ /\.cl$/) print place ": " target " is no .clh of cl/lib"
    if (index(" " allowed[layer_of(file)] " ", " " layer_of(target) " ") == 0)
        print place ": " file " must not include " target
    else if (file ~ /\.h$/ && file !~ /_priv\.h$/ && file !~ /^(tools|tests)\// && target ~ /_priv\.h$/)
        print place ": a header that is installed includes " target
}
