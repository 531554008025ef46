package differential_test

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/bondgate/bondgate/gateway/oci/manifest"
)

// configured is what a reader understands of an image's configuration.
type configured struct {
	OS, Architecture, User string
	Env, Ports, Labels     []string
}

func configuredOf(os, architecture, user string, env []string, ports map[string]struct{}, labels map[string]string) configured {
	c := configured{OS: os, Architecture: architecture, User: user, Ports: slices.Sorted(maps.Keys(ports))}
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		c.Env = append(c.Env, name)
	}
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		c.Labels = append(c.Labels, k+"="+labels[k])
	}
	return c
}

func (c configured) equal(o configured) bool {
	return c.OS == o.OS && c.Architecture == o.Architecture && c.User == o.User &&
		slices.Equal(c.Env, o.Env) && slices.Equal(c.Ports, o.Ports) && slices.Equal(c.Labels, o.Labels)
}

var configReaders = map[string]func(string) (configured, error){
	"go-containerregistry": func(body string) (configured, error) {
		f, err := v1.ParseConfigFile(strings.NewReader(body))
		if err != nil {
			return configured{}, err
		}
		return configuredOf(f.OS, f.Architecture, f.Config.User, f.Config.Env, f.Config.ExposedPorts, f.Config.Labels), nil
	},
	// containerd unmarshals image-spec's type into what runs.
	"containerd": func(body string) (configured, error) {
		var f ocispec.Image
		if err := json.Unmarshal([]byte(body), &f); err != nil {
			return configured{}, err
		}
		d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromString(body), Size: int64(len(body))}
		p, err := images.ConfigPlatform(context.Background(), provider(body), d)
		if err != nil {
			return configured{}, err
		}
		// It writes its own names for some architectures; the file's are compared.
		if p.OS == "" && f.OS != "" {
			return configured{}, errDiffers
		}
		return configuredOf(f.OS, f.Architecture, f.Config.User, f.Config.Env, f.Config.ExposedPorts, f.Config.Labels), nil
	},
}

func compareConfig(t *testing.T, body string, mustRead bool) {
	t.Helper()
	c, err := manifest.ParseConfig([]byte(body))
	if err != nil {
		if mustRead {
			t.Errorf("we refuse it: %v\n%s", err, body)
		}
		return
	}
	mine := configuredOf(c.OS, c.Architecture, c.User, c.EnvNames, nil, c.Labels)
	mine.Ports = c.ExposedPorts
	for name, read := range configReaders {
		theirs, err := read(body)
		switch {
		case err != nil && mustRead:
			t.Errorf("%s refuses it: %v\n%s", name, err, body)
		case err == nil && !mine.equal(theirs):
			t.Errorf("%s reads %+v, we read %+v\n%s", name, theirs, mine, body)
		}
	}
}

var plainConfigs = []string{
	`{"os":"linux","architecture":"amd64","config":{"User":"1000:1000","Env":["PATH=/bin","A","=x","A=1=2"],"Labels":{"a":"b","A":"c"},"ExposedPorts":{"8080/tcp":{},"53/udp":{}}},"rootfs":{"type":"layers","diff_ids":[]}}`,
	`{"os":"linux","architecture":"arm64","created":"2026-09-01T00:00:00.123456789Z","variant":"v8"}`,
	`{"architecture":"amd64","os":"linux","config":{"User":"\u0072oot","Entrypoint":["/x"],"Cmd":null,"Healthcheck":{"Test":["NONE"]}},"history":[{"created_by":"x"}]}`,
	`{"os":"linux","architecture":"amd64","config":{}}`,
	`{"os":"linux","architecture":"amd64","config":null}`,
	`{"os":"linux","architecture":"amd64","container_config":{"User":"root"},"config":{"User":"1000"}}`,
}

func TestEveryReaderReadsAPlainConfigurationAsWeDo(t *testing.T) {
	for _, body := range plainConfigs {
		compareConfig(t, body, true)
	}
}

// FuzzConfig looks for a configuration that we accept and another reads otherwise.
func FuzzConfig(f *testing.F) {
	for _, body := range plainConfigs {
		f.Add(body)
	}
	f.Add(`{"config":{"User":"1000","user":"root"}}`)
	f.Add(`{"config":{"User":"1000"},"config":{"User":"root"}}`)
	f.Add(`{"config":{"User":"1000","Uſer":"root"}}`)
	f.Add(`{"config":{"User":null,"Labels":null,"Env":null,"ExposedPorts":null}}`)
	f.Fuzz(func(t *testing.T, body string) { compareConfig(t, body, false) })
}
