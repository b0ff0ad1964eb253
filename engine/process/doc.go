// Package process is the launcher of local processes: an instance is a process group that answers on a port of the loopback interface.
//
// # Contract
//
// The process is told where to listen by SAGEMAKER_BIND_TO_PORT and PORT, and by {host} and {port} in its command and variables; where its
// model is by SM_MODEL_DIR and {model}. It inherits a short list of variables (see inherited) and no others, for the program's own hold secrets.
// It is ready when a GET of its health path is answered with status 200. It is asked to end by SIGTERM to its group; SIGKILL follows after the grace.
// When the first process of the group ends, the others are ended by force, as in a container.
//
// # Nothing is left behind
//
// Each instance carries a mark in its environment (FOREBAY_INSTANCE), which its children inherit. When an instance is over, what has its group or its mark is
// killed, also what has left the group. An instance is recorded on disk before it is started. After the program was killed the next one, over the
// same directory, finds the records: what runs can be adopted, for its output goes to a file of its own and not through the program, and Discard ends the rest.
//
// # Ports
//
// A port is taken from a range below those that the system gives to outgoing connections, after it was seen to be free. It is reserved by an
// abstract socket named after it, which all launchers in the same network namespace respect and the system releases when a program dies, so that two of them never
// choose the same port between the look and the process's own bind (Linux; elsewhere within one program).
//
// # Resources
//
// GPUs are given out as whole devices, by CUDA_VISIBLE_DEVICES. Processors and memory are counted against what the machine has, and enforced by cgroup v2 where the
// operator names a delegated group; else they are counted alone.
//
// # Logs
//
// Output is appended to a file, which is copied and cut off when it is large: lines that are written between the two can be lost, which is the price of a process
// that outlives the program.
package process
