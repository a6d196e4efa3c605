// image packs folders into an image archive (the format of `docker save`, which
// docker, kind, ctr, skopeo and crane all read) without any daemon.
//
//	image ARCHIVE SPEC.json
//
// The spec is a list of images; layers named by several images are made and stored once.
// Files keep their mode and belong to the owner that they have on disk; times are
// zero, so that the same files give the same digests.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Image is one entry of the spec.
type Image struct {
	Ref    string    // complete: localhost/floe/toolbox:dev
	Layers []string  // folders
	Config v1.Config // as in an image's config: Entrypoint, User, Env, StopSignal ...
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: image ARCHIVE SPEC.json")
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal("image: ", err)
	}
}

func run(archive, spec string) error {
	text, err := os.ReadFile(spec)
	if err != nil {
		return err
	}
	var images []Image
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&images); err != nil {
		return fmt.Errorf("%s: %w", spec, err)
	}
	work, err := os.MkdirTemp(filepath.Dir(archive), ".layers")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)

	layers := map[string]v1.Layer{}
	packed := map[name.Tag]v1.Image{}
	for _, image := range images {
		ref, err := name.NewTag(image.Ref, name.StrictValidation)
		if err != nil {
			return err
		}
		result := empty.Image
		for _, folder := range image.Layers {
			if layers[folder] == nil {
				if layers[folder], err = layer(work, len(layers), folder); err != nil {
					return fmt.Errorf("%s: %w", folder, err)
				}
			}
			if result, err = mutate.AppendLayers(result, layers[folder]); err != nil {
				return err
			}
		}
		config, err := result.ConfigFile()
		if err != nil {
			return err
		}
		config = config.DeepCopy()
		config.OS, config.Architecture, config.Config = "linux", runtime.GOARCH, image.Config
		if packed[ref], err = mutate.ConfigFile(result, config); err != nil {
			return err
		}
	}
	return tarball.MultiWriteToFile(archive, packed)
}

// layer writes a folder into a tar file on disk: layers are too big for memory.
func layer(work string, number int, folder string) (v1.Layer, error) {
	path := filepath.Join(work, fmt.Sprint(number))
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	writer := tar.NewWriter(file)
	if err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == folder {
			return err
		}
		return add(writer, folder, path)
	}); err != nil {
		return nil, err
	}
	if err := errors.Join(writer.Close(), file.Close()); err != nil {
		return nil, err
	}
	// Compressed once, fast: these archives do not travel.
	return tarball.LayerFromFile(path, tarball.WithCompressedCaching, tarball.WithCompressionLevel(gzip.BestSpeed))
}

func add(writer *tar.Writer, folder, path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket != 0 {
		return nil
	}
	target := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if target, err = os.Readlink(path); err != nil {
			return err
		}
	}
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	relative, err := filepath.Rel(folder, path)
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	*header = tar.Header{
		Typeflag: header.Typeflag, Name: relative, Linkname: target, Size: header.Size, Mode: header.Mode,
		Uid: int(owner.Uid), Gid: int(owner.Gid), Devmajor: header.Devmajor, Devminor: header.Devminor,
	}
	if err := writer.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(writer, file)
	return err
}
