package process

import (
	"os"
	"strconv"
	"strings"

	"forebay/engine"
)

// inherited are the variables that an instance gets from the program: what programs need to find their parts, and nothing that holds a secret.
var inherited = []string{
	"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH", "PYENV_ROOT", "PYENV_VERSION",
	"CUDA_HOME", "CUDA_PATH", "NVIDIA_DRIVER_CAPABILITIES", "OMP_NUM_THREADS", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
}

// markVariable is in the environment of all processes of an instance.
const markVariable = "FOREBAY_INSTANCE"

// environment is what the processes of an instance see. Where a name comes twice the later one counts.
func (r *record) environment() []string {
	var out []string
	for _, name := range inherited {
		if v, ok := os.LookupEnv(name); ok {
			out = append(out, name+"="+v)
		}
	}
	port := strconv.Itoa(r.Port)
	out = append(out, "SAGEMAKER_BIND_TO_PORT="+port, "SAGEMAKER_SAFE_PORT_RANGE="+port+"-"+port, "PORT="+port)
	if r.Spec.ModelDir != "" {
		out = append(out, "SM_MODEL_DIR="+r.Spec.ModelDir)
	}
	if len(r.GPUs) > 0 {
		out = append(out, "CUDA_VISIBLE_DEVICES="+strings.Join(r.GPUs, ","))
	}
	out = append(out, r.filled(r.Spec.Env)...)
	return append(out, markVariable+"="+r.Mark)
}

// filled puts what is known now in the places of texts.
func (r *record) filled(texts []string) []string {
	places := strings.NewReplacer(
		engine.PlaceHost, loopback, engine.PlacePort, strconv.Itoa(r.Port), engine.PlaceModel, r.Spec.ModelDir,
		engine.PlaceSlots, strconv.FormatInt(int64(max(1, r.Spec.Slots)), 10),
	)
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = places.Replace(t)
	}
	return out
}
